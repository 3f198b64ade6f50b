"""Settings of the server that asks for a key."""

KEYS = ("first-key", "second-key")
ORIGIN = "https://app.example"
MODEL = "canopylabs/orpheus-3b-0.1-ft"

GUARDED = {
    "ORPHEUS_ACCESS_KEY": f"{KEYS[0]}, {KEYS[1]}",
    "ORPHEUS_CORS_ORIGINS": ORIGIN,
    "ORPHEUS_MODEL_NAME": MODEL,
    "ORPHEUS_MAX_SPEAKING": "1",
    "ORPHEUS_MAX_WAITING": "0",
    "ORPHEUS_API_TIMEOUT": "10",
}
