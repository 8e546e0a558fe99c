"""Floor 1: pure tensor mathematics. Rooms here import torch and each other, nothing above."""
