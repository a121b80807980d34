"""C++ kernels and their binding; the labels and pixels they give are described in the rooms that call them."""
