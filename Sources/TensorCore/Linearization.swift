/// A function of several tensors at one point: its values there, and what a cotangent of any of them is at the inputs.
package struct Linearization {
  /// The function's values, without a graph.
  package let values: [Tensor]
  private let results, variables: [Tensor]
  private let layer: Layer

  /// A function at a point.
  ///
  /// - Parameters:
  ///   - inputs: The point.
  ///   - function: Any function of it.
  package init(at inputs: [Tensor], of function: ([Tensor]) -> [Tensor]) {
    for input in inputs { requireFractions("gradient", input) }
    layer = Layer.gradient()
    defer { layer.exit() }
    variables = inputs.map(layer.wrap)
    results = function(variables)
    values = results.map(layer.unwrap)
  }

  /// `uᵀ ∂y/∂x` for one of the values and every input; nil where the value does not depend on the input.
  ///
  /// - Parameters:
  ///   - cotangent: `u`, in the shape of the value.
  ///   - index: Which of the values.
  /// - Returns: One for each input, in its shape.
  package func pullback(_ cotangent: Tensor, ofValue index: Int) -> [Tensor?] {
    guard cotangent.shape == values[index].shape else {
      fatalError("pullback(\(cotangent.shape)): the function's value \(index) has shape \(values[index].shape)")
    }
    return layer.gradients(of: results[index], along: cotangent, at: variables, inside: false).map {
      $0.map(layer.unwrap)
    }
  }
}
