"""YAML as Touchline reads and writes it: JSON values within limits, whoever wrote them."""
