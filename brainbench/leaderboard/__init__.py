"""The leaderboard: entries that arrive as data, are checked as data, recomputed by the host, and shown as one page."""
