"""The register laboratory: see the artifacts of a ViT, and give it the registers it was trained without."""
