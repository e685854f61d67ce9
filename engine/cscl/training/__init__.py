"""Jobs that make models: contrastive pre-training and supervised training."""
