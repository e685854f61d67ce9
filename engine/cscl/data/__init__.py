"""Images and labels on their way in: readers (one file a format), splits, samples, and the door to tensors."""
