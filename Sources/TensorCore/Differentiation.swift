import CScorefieldEngine
import ScorefieldArrays

// Derivatives of Swift functions of tensors, in every order and nesting.
//
// A function under differentiation runs at once and on the calling thread: libtorch keeps what it records per thread. A
// tensor made inside belongs to that thread until the function returns, so constants that threads share (a lazy `static
// let` too) are made outside, and what leaves by another way than the result is detached first.

/// The value of a scalar function and its gradient.
///
/// - Parameters:
///   - x: The point.
///   - function: A function whose result has one element.
/// - Returns: The value, and the gradient in the shape of `x` (zeros where the value does not depend on it).
/// - Throws: What the function throws.
public func valueAndGradient<E: Error>(
  at x: Tensor, of function: (Tensor) throws(E) -> Tensor
) throws(E) -> (value: Tensor, gradient: Tensor) {
  let (value, gradients) = try valueAndGradients(at: [x]) { inputs throws(E) in try function(inputs[0]) }
  return (value, gradients[0])
}

/// The gradient of a scalar function.
public func gradient<E: Error>(at x: Tensor, of function: (Tensor) throws(E) -> Tensor) throws(E) -> Tensor {
  try valueAndGradient(at: x, of: function).gradient
}

/// The value of a scalar function of several tensors and its gradients.
///
/// - Parameters:
///   - inputs: The points.
///   - function: A function whose result has one element.
/// - Returns: The value, and one gradient per input in its shape.
/// - Throws: What the function throws.
public func valueAndGradients<E: Error>(
  at inputs: [Tensor], of function: ([Tensor]) throws(E) -> Tensor
) throws(E) -> (value: Tensor, gradients: [Tensor]) {
  for input in inputs { requireFractions("gradient", input) }
  func requireScalar(_ value: Tensor) {
    guard value.count == 1 else {
      fatalError("gradient(\(value.shape)): the function's result needs exactly one element")
    }
  }
  if let tape = Tape(following: inputs) {
    defer { tape.exit() }
    let result = try function(tape.variables)
    requireScalar(result)
    let (value, found) = tape.gradients(of: result)
    return (value, zip(inputs, found).map { $1 ?? .zeros(like: $0) })
  }
  let layer = Layer.gradient()
  defer { layer.exit() }
  let variables = inputs.map(layer.wrap)
  let value = try function(variables)
  requireScalar(value)
  let found = layer.gradients(of: value, along: .ones(like: value), at: variables, inside: true)
  return (layer.unwrap(value), zip(inputs, found).map { $1.map(layer.unwrap) ?? .zeros(like: $0) })
}

/// The value of a function and its vector–Jacobian product, which may be asked any number of times.
///
/// - Parameters:
///   - x: The point.
///   - function: Any function of it.
/// - Returns: The value `y`, and `u ↦ uᵀ ∂y/∂x`, from the shape of `y` to that of `x`.
/// - Throws: What the function throws.
public func vjp<E: Error>(
  at x: Tensor, of function: (Tensor) throws(E) -> Tensor
) throws(E) -> (value: Tensor, pullback: (Tensor) -> Tensor) {
  requireFractions("gradient", x)
  let layer = Layer.gradient()
  defer { layer.exit() }
  let variable = layer.wrap(x)
  let value = try function(variable)
  return (
    layer.unwrap(value),
    { cotangent in
      guard cotangent.shape == value.shape else {
        fatalError("pullback(\(cotangent.shape)): the function's result has shape \(value.shape)")
      }
      let found = layer.gradients(of: value, along: cotangent, at: [variable], inside: false)
      return found[0].map(layer.unwrap) ?? .zeros(like: x)
    }
  )
}

/// The value of a function, and whether it depends on the point as far as derivatives know.
///
/// A slope that is zero at the point is one; a value that was detached, or has nothing of the point, has none.
///
/// - Parameters:
///   - x: The point.
///   - function: Any function of it.
/// - Returns: The value, and whether a derivative comes back to the point.
/// - Throws: What the function throws.
package func valueAndDependence<E: Error>(
  at x: Tensor, of function: (Tensor) throws(E) -> Tensor
) throws(E) -> (value: Tensor, depends: Bool) {
  requireFractions("gradient", x)
  let layer = Layer.gradient()
  defer { layer.exit() }
  let variable = layer.wrap(x)
  let value = try function(variable)
  let found = layer.gradients(of: value, along: .ones(like: value), at: [variable], inside: true)
  return (layer.unwrap(value), found[0] != nil)
}

/// The value of a function and its derivative along a direction, in one forward pass.
///
/// - Parameters:
///   - x: The point.
///   - direction: The direction, in the shape of `x`.
///   - function: Any function of it.
/// - Returns: The value `y`, and `(∂y/∂x) v` in its shape.
/// - Throws: What the function throws.
public func jvp<E: Error>(
  at x: Tensor, along direction: Tensor, of function: (Tensor) throws(E) -> Tensor
) throws(E) -> (value: Tensor, derivative: Tensor) {
  requireFractions("jvp", x)
  guard x.shape == direction.shape, x.elementType == direction.elementType else {
    fatalError(
      "jvp(\(x.shape) \(x.elementType.rawValue), \(direction.shape) \(direction.elementType.rawValue)): "
        + "point and direction differ")
  }
  let layer = Layer.forward()
  defer { layer.exit() }
  // A dual number is written into: a broadcast view, whose elements share memory, cannot be.
  let (point, rate) = (contiguous(x.argument), contiguous(direction.argument))
  let dual = Tensor.yielding("jvp") { Engine.api.make_dual(point.handle, rate.handle, $0) }
  let result = try function(dual)
  var primal: ct_tensor?
  var tangent: ct_tensor?
  Engine.api.check("jvp", Engine.api.unpack_dual(result.handle, &primal, &tangent))
  let value = layer.unwrap(Tensor(owning: primal!))
  return (value, tangent.map { layer.unwrap(Tensor(owning: $0)) } ?? .zeros(like: value))
}

/// A function of one element of a batch, applied to all of them at once.
///
/// - Parameters:
///   - x: A batch `[n, …]`.
///   - function: A function from `[…]` to any shape.
/// - Returns: The results, stacked along a new first axis.
/// - Throws: What the function throws.
public func vmap<E: Error>(over x: Tensor, _ function: (Tensor) throws(E) -> Tensor) throws(E) -> Tensor {
  let count = x.batch
  let layer = Layer.batch(count)
  defer { layer.exit() }
  let result = try function(
    Tensor.yielding("vmap") { Engine.api.batch_add(x.handle, 0, layer.level, $0) })
  return Tensor.yielding("vmap") { Engine.api.batch_remove(result.handle, layer.level, Int64(count), 0, $0) }
}

/// What the body computes is constant to every derivative taken around it.
public func withoutGradient<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
  let before = Engine.api.set_recording(0)
  defer { _ = Engine.api.set_recording(before) }
  return try body()
}

func requireFractions(_ operation: StaticString, _ tensor: Tensor) {
  let type = tensor.elementType
  guard !type.isInteger, type != .bool else {
    fatalError("\(operation)(\(tensor.shape) \(type.rawValue)): only floating-point numbers have derivatives")
  }
}

/// libtorch's ordinary tape, entered: derivatives in reverse without a layer, whose every operation costs more.
private struct Tape {
  /// The inputs as the tape follows them.
  let variables: [Tensor]

  /// Nil where something is recorded already, or a layer is entered: derivatives then nest, and need one more.
  init?(following inputs: [Tensor]) {
    var entered = false
    var variables = [ct_tensor?](repeating: nil, count: inputs.count)
    withExtendedLifetime(inputs) {
      Engine.api.check(
        "gradient", Engine.api.tape_enter(inputs.map(\.handle), Int32(inputs.count), &entered, &variables))
    }
    guard entered else { return nil }
    self.variables = variables.map { Tensor(owning: $0!) }
  }

  func exit() { Engine.api.tape_exit() }

  func gradients(of result: Tensor) -> (value: Tensor, gradients: [Tensor?]) {
    var value: ct_tensor?
    var found = [ct_tensor?](repeating: nil, count: variables.count)
    withExtendedLifetime((result, variables)) {
      Engine.api.check(
        "gradient",
        Engine.api.tape_gradients(result.handle, variables.map(\.handle), Int32(variables.count), &value, &found))
    }
    return (Tensor(owning: value!), found.map { $0.map(Tensor.init(owning:)) })
  }
}

/// A transform of libtorch's stack, entered; exits must come in reverse order.
struct Layer {
  let level: Int64

  static func gradient() -> Layer { enter("gradient") { Engine.api.grad_enter($0) } }
  static func forward() -> Layer { enter("jvp") { Engine.api.jvp_enter($0) } }
  static func batch(_ count: Int) -> Layer { enter("vmap") { Engine.api.vmap_enter(Int64(count), $0) } }

  private static func enter(_ name: String, _ call: (UnsafeMutablePointer<Int64>) -> ct_status) -> Layer {
    var level: Int64 = 0
    Engine.api.check(name, call(&level))
    return Layer(level: level)
  }

  func exit() { Engine.api.layer_exit() }

  func wrap(_ tensor: Tensor) -> Tensor {
    Tensor.yielding("gradient") { Engine.api.grad_wrap(tensor.handle, level, $0) }
  }

  func unwrap(_ tensor: Tensor) -> Tensor {
    Tensor.yielding("unwrap") { Engine.api.layer_unwrap(tensor.handle, level, $0) }
  }

  func gradients(of output: Tensor, along cotangent: Tensor, at inputs: [Tensor], inside: Bool) -> [Tensor?] {
    var found = [ct_tensor?](repeating: nil, count: inputs.count)
    withExtendedLifetime((output, cotangent, inputs)) {
      Engine.api.check(
        "gradient",
        Engine.api.gradients(
          [output.handle], [cotangent.handle], 1, inputs.map(\.handle), Int32(inputs.count), !inside, inside, &found))
    }
    return found.map { $0.map(Tensor.init(owning:)) }
  }
}

private let contiguous = Operator("aten::clone")
