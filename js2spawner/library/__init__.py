"""The image library: what an image is made of, how it is built, tried, published, and found again at launch."""
