"""What it takes to run Touchline: image, compose file, chart, and a local stack without Docker."""
