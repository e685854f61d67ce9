"""Jobs that use models: maps, embeddings, affinity and the assessment of maps."""
