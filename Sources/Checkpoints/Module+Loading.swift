import ScorefieldArrays
import ScorefieldNetworks
import ScorefieldTensorCore

extension Module {
  /// The parameters with their names, which begin with a prefix and a dot.
  public func namedParameters(under prefix: String) -> [(name: String, tensor: Tensor)] {
    namedParameters.map { (name: "\(prefix).\($0.name)", tensor: $0.tensor) }
  }

  /// The same module with the parameters in a file, in the element types and on the devices of its own.
  ///
  /// - Parameters:
  ///   - file: The file, which holds these parameters and no others.
  ///   - prefix: What stands before the names, with a dot; names that begin otherwise are not looked at.
  /// - Returns: The module; parameters that need no conversion are views of the file.
  /// - Throws: Where a parameter is missing, has another shape or is no real number, or a tensor is left over.
  public func loading(_ file: SafeTensorsFile, under prefix: String? = nil) throws(ArrayFileError) -> Self {
    try loading(names: file.names, under: prefix, from: file.path) { (name) throws(ArrayFileError) in
      let array = try file.array(named: name)
      return Found(shape: array.shape, elementType: array.elementType) { Tensor(array) }
    }
  }

  /// The same module with the given parameters, in the element types and on the devices of its own.
  ///
  /// - Parameters:
  ///   - tensors: These parameters and no others.
  ///   - prefix: What stands before the names, with a dot; names that begin otherwise are not looked at.
  ///   - path: Where they come from; errors begin with it.
  /// - Returns: The module.
  /// - Throws: Where a parameter is missing, has another shape or is no real number, or a tensor is left over.
  public func loading(
    _ tensors: [String: Tensor], under prefix: String? = nil, from path: String
  ) throws(ArrayFileError) -> Self {
    try loading(names: tensors.keys.sorted(), under: prefix, from: path) { (name) throws(ArrayFileError) in
      let tensor = tensors[name]!
      return Found(shape: tensor.shape, elementType: tensor.elementType) { tensor }
    }
  }

  private func loading(
    names: [String], under prefix: String?, from path: String, _ found: (String) throws(ArrayFileError) -> Found
  ) throws(ArrayFileError) -> Self {
    let repair = "build the network that was trained, as its config.json says"
    let wanted = prefix.map { namedParameters(under: $0) } ?? namedParameters
    let (known, present) = (Set(wanted.map(\.name)), Set(names))
    let extra = names.filter { name in !known.contains(name) && prefix.map { name.hasPrefix("\($0).") } ?? true }
    let missing = wanted.map(\.name).filter { !present.contains($0) }
    if let first = missing.first {
      let others = missing.count == 1 ? "" : ", nor \(missing.count - 1) more of the network's"
      // Only a name that nothing else of the network has can have been meant.
      let nearest = nearestName(to: first, in: extra).map { "did you mean \(ArrayFileError.quote($0))?" }
      throw ArrayFileError(
        path, .badData, "no tensor named \(ArrayFileError.quote(first))\(others)", repair: nearest ?? repair)
    }
    guard extra.isEmpty else {
      let named = extra.prefix(3).map { ArrayFileError.quote($0) }.joined(separator: ", ")
      let rest = extra.count > 3 ? " and \(extra.count - 3) more" : ""
      throw ArrayFileError(path, .badData, "the network has no tensor named \(named)\(rest)", repair: repair)
    }

    var parameters: [Tensor] = []
    for (name, parameter) in wanted {
      let new = try found(name)
      let subject = "tensor \(ArrayFileError.quote(name))"
      guard new.shape == parameter.shape else {
        throw ArrayFileError(
          path, .badData, "\(subject) has shape \(new.shape), the network's has \(parameter.shape)", repair: repair)
      }
      guard new.elementType.isFloatingPoint, new.elementType.bitWidth >= 8, Tensor.supports(new.elementType) else {
        throw ArrayFileError(
          path, .badData,
          "\(subject) is \(new.elementType.rawValue), the network's is \(parameter.elementType.rawValue)",
          repair: "convert it first")
      }
      parameters.append(new.tensor().to(parameter.elementType).to(parameter.device))
    }
    return replacing(parameters: parameters)
  }
}

/// A tensor that is looked at before it is made.
private struct Found {
  let shape: [Int]
  let elementType: ElementType
  let tensor: () -> Tensor
}
