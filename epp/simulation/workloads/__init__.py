"""Who asks for what, and when: sessions of turns, open and closed loops, traces."""
