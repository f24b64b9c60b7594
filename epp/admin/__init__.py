"""HTTP for people and machines that watch the picker: metrics, health, the status page."""
