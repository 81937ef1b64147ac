import ScorefieldTensorCore

/// Something with parameters: a value whose tensors can be listed by name, in a fixed order, and replaced.
///
/// A conformer shows its parameters and its parts, each under the name it has in the source:
///
///     mutating func visit(_ visitor: inout ParameterVisitor) {
///       visitor(&weight, "weight")
///       visitor(&blocks, "blocks")
///     }
///
/// so that a checkpoint reads like the architecture: `blocks.0.weight`.
public protocol Module: Sendable {
  mutating func visit(_ visitor: inout ParameterVisitor)
}

extension Module {
  /// The parameters, in the order of ``visit(_:)``.
  public var parameters: [Tensor] {
    var (copy, visitor) = (self, ParameterVisitor(.listing))
    copy.visit(&visitor)
    return visitor.tensors
  }

  /// The parameters with their names, in the order of ``visit(_:)``.
  public var namedParameters: [(name: String, tensor: Tensor)] {
    var (copy, visitor) = (self, ParameterVisitor(.naming))
    copy.visit(&visitor)
    return Array(zip(visitor.names, visitor.tensors).map { (name: $0, tensor: $1) })
  }

  /// The same module with other parameters, given in the order of ``parameters``; their shapes are not looked at.
  public func replacing(parameters: [Tensor]) -> Self {
    var (copy, visitor) = (self, ParameterVisitor(.replacing))
    visitor.tensors = parameters
    copy.visit(&visitor)
    guard visitor.position == parameters.count else {
      fatalError("replacing(parameters: \(parameters.count)): the module has \(visitor.position)")
    }
    return copy
  }

  /// The same module with every parameter changed.
  public func mapParameters(_ change: (Tensor) -> Tensor) -> Self { replacing(parameters: parameters.map(change)) }

  /// How many numbers the parameters hold.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }
}

/// What a module shows its parameters to.
public struct ParameterVisitor {
  enum Purpose {
    case listing, naming, replacing
  }

  private let purpose: Purpose
  /// The path to the module being visited; only kept where names are asked for.
  private var path: [String] = []
  fileprivate(set) var names: [String] = []
  fileprivate(set) var tensors: [Tensor] = []
  fileprivate(set) var position = 0

  init(_ purpose: Purpose) { self.purpose = purpose }

  /// A parameter.
  public mutating func callAsFunction(_ parameter: inout Tensor, _ name: String) {
    switch purpose {
    case .listing: tensors.append(parameter)
    case .naming:
      names.append((path + [name]).joined(separator: "."))
      tensors.append(parameter)
    case .replacing:
      guard position < tensors.count else {
        fatalError("replacing(parameters: \(tensors.count)): the module has more")
      }
      parameter = tensors[position]
      position += 1
    }
  }

  /// A parameter that may be missing.
  public mutating func callAsFunction(_ parameter: inout Tensor?, _ name: String) {
    guard var present = parameter else { return }
    self(&present, name)
    parameter = present
  }

  /// A part.
  public mutating func callAsFunction<M: Module>(_ part: inout M, _ name: String) {
    if purpose == .naming { path.append(name) }
    part.visit(&self)
    if purpose == .naming { path.removeLast() }
  }

  /// A part that may be missing.
  public mutating func callAsFunction<M: Module>(_ part: inout M?, _ name: String) {
    guard var present = part else { return }
    self(&present, name)
    part = present
  }

  /// A network of any architecture.
  public mutating func callAsFunction(_ part: inout any Network, _ name: String) {
    if purpose == .naming { path.append(name) }
    part.visit(&self)
    if purpose == .naming { path.removeLast() }
  }

  /// A row of parts, numbered from 0.
  public mutating func callAsFunction<M: Module>(_ parts: inout [M], _ name: String) {
    if purpose == .naming { path.append(name) }
    for index in parts.indices { self(&parts[index], purpose == .naming ? "\(index)" : "") }
    if purpose == .naming { path.removeLast() }
  }
}
