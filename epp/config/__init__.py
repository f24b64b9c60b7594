"""The configuration document as frozen values: decoded once, strictly; errors name the place."""
