"""The web demo: upload a picture, understand the answer. Everything goes through one ``Discoverer`` per model."""
