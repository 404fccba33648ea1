"""What this machine holds of each recording: where its files lie, whether they are right, how to get them."""
