"""Why a request goes where it goes: told without sending it, and decided again from JSON."""
