__all__ = ['ttypes', 'constants', 'Testing']
