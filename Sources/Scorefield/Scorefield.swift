@_exported import ScorefieldArrays
@_exported import ScorefieldTensorCore
