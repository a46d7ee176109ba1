"""TensorRT and TensorRT for RTX: building engines for this GPU, keeping them, and running them.

Neither library is needed to import the package; what is missing is said when it is asked for.
"""
