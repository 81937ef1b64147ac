@_exported import ScorefieldArrays
@_exported import ScorefieldFields
@_exported import ScorefieldFisher
@_exported import ScorefieldInference
@_exported import ScorefieldPaths
@_exported import ScorefieldSolvers
@_exported import ScorefieldTensorCore
