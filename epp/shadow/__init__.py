"""Other schedulers on live traffic, without effect: what they would pick, and at what cost."""
