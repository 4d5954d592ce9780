__all__ = ['ttypes', 'constants', 'BaseplateServiceV2']
