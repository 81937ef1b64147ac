import CScorefieldEngine

// Writing into tensors, for this package only: values stay values, because nobody else can see what is written into.

extension [Tensor] {
  /// Makes each tensor the only one with its memory, in row-major order: by a copy, unless it is.
  package mutating func makeUnique() {
    for index in indices where !self[index].isUnique() {
      self[index] = withoutGradient { copy(self[index].argument, .int(rowMajor)) }
    }
  }

  /// Whether each tensor is the only one with its memory.
  package var areUnique: Bool {
    mutating get {
      indices.allSatisfy { self[$0].isUnique() }
    }
  }
}

extension Operator {
  /// Calls an operator that gives nothing but writes into some of its arguments; they must be unique.
  package func write(_ arguments: Argument...) {
    var nothing = ct_value()
    withoutGradient { _ = run(arguments, into: &nothing, capacity: 0) }
  }
}

extension Tensor {
  /// Whether nothing else refers to the tensor or to its memory.
  fileprivate mutating func isUnique() -> Bool {
    isKnownUniquelyReferenced(&storage) && Engine.api.is_unique(handle)
  }
}

private let copy = Operator("aten::clone")
/// libtorch's number of that order.
private let rowMajor = 0
