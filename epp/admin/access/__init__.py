"""Who may read the metrics page: bearer tokens, as the cluster judges them."""
