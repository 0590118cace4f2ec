"""One perceptron with backpropagation in NumPy, PyTorch and JAX, and the proof that they agree."""
