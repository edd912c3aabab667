"""HTTP: what clients ask about bad versions."""
