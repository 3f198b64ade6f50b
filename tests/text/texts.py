"""Texts of eight languages, and strategies that make hostile ones."""

from hypothesis import strategies as st

PROSE = {
    "en": 'Dr. Smith left at 5 p.m. and paid $4.99, i.e. too much. "Stop!" he said. Was it 3.14 or 1,000? Nobody knew.',
    "fr": "M. Dupont est arrivé à 18 h. Il a dit : « Bonjour ! » Puis il est reparti, hélas… Pourquoi ?",
    "de": "Am 3. Mai kam er z. B. mit Dr. Müller an. „Na endlich!“, rief sie. Es kostete 1.000 Euro; war das viel?",
    "es": "¿Dónde está el Sr. García? ¡No lo sé! Vive en EE. UU. desde 1999, creo; pero no importa.",
    "it": "Il dott. Rossi è arrivato alle 8. Perché? Nessuno lo sa, purtroppo: è un mistero. Va bene!",
    "ko": "안녕하세요. 저는 서울에 살고 있어요! 당신은 어디에 사세요? 오늘은 날씨가 좋네요.",
    "hi": "डॉ. शर्मा घर गए। क्या वह ठीक हैं? हाँ, वह ठीक हैं! क्‍षमा कीजिए।",
    "zh": "他走了，没有人知道他去了哪里。“你好。”他说。然后天下雨了！对吗？是的……一共1,000元。",
}

ODD = [
    "<laugh>", "<작은 웃음>", "<", ">", "[", "]", "[laugh]", "[1](x)", "https://example.org/a.b?c=1,2", "a@b.example",
    "3.14", "1,000", "1 000 000", "👨‍👩‍👧", "🇫🇷", "👍🏽", "é", "e\u0301\u0302", "क्‍ष", "\u0e01\u0e33", "...", "?!", "“", "”", '"', "(", ")",
    "—", ";", ",", ".", "。", "।", "\n", "\n\n", "\r\n", " ", "\t", "\u2029", "\u3000", "   \n \n", "M.", "1.", "A",
    "x" * 45, "长" * 30, "\u0301" * 40,
]  # fmt: skip

chunks = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from([word + gap for text in PROSE.values() for word in text.split() for gap in (" ", "")]),
    st.text(max_size=6),
)
hostile = st.lists(chunks, max_size=60).map("".join)
languages = st.sampled_from([*PROSE, None, "xx"])


def words_only(text: str) -> str:
    """All characters but white space."""
    return "".join(text.split())
