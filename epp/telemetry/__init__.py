"""Every metric and log format of the process. Recorded only at the edges."""
