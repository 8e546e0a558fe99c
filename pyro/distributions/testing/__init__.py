"""Laws and tests for testing: goodness of fit, and laws whose draws have no or other gradients."""
