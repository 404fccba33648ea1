"""brainbench: how brain-like is a vision model, where in the brain, at what depth, and how sure are we?"""

__version__ = "0.1.0"
