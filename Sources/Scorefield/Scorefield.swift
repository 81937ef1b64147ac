@_exported import ScorefieldArrays
