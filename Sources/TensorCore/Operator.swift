import CScorefieldEngine
import ScorefieldArrays

/// One operator of libtorch, found once by the name and overload of its schema and kept in a `static let`.
///
///     private static let add = Operator("aten::add", "Tensor", as: "+")
///
/// Any operator can be reached so; arguments follow the schema's order, trailing ones may be left out.
package struct Operator: @unchecked Sendable {
  // Sound: the handle points at libtorch's own table, which lives as long as the process.
  private let handle: ct_operator
  private let name: String

  package init(_ schema: StaticString, _ overload: StaticString = "", as name: String? = nil) {
    var found: ct_operator?
    let status = schema.withUTF8Buffer { schema in
      overload.withUTF8Buffer { overload in
        Engine.api.find(
          UnsafeRawPointer(schema.baseAddress!).assumingMemoryBound(to: CChar.self),
          UnsafeRawPointer(overload.baseAddress!).assumingMemoryBound(to: CChar.self), &found)
      }
    }
    guard status == CT_OK, let found else {
      fatalError("operator \(schema).\(overload): \(Engine.failure)")
    }
    self.handle = found
    self.name = name ?? "\(schema)".replacingPrefix("aten::")
  }

  /// Calls an operator with one tensor as its result.
  package func callAsFunction(_ arguments: Argument...) -> Tensor {
    var result = ct_value()
    run(arguments, into: &result, capacity: 1)
    guard result.tag == Int32(CT_TENSOR), let tensor = result.as.tensor else { fatalError("\(name): gave no tensor") }
    return Tensor(owning: tensor)
  }

  /// Calls an operator with several tensors, or lists of them, as its results.
  package func all(_ arguments: Argument..., capacity: Int) -> [Tensor] {
    withUnsafeTemporaryAllocation(of: ct_value.self, capacity: capacity) { results in
      let count = run(arguments, into: results.baseAddress!, capacity: capacity)
      return results[..<count].compactMap { value in
        value.tag == Int32(CT_TENSOR) ? value.as.tensor.map(Tensor.init(owning:)) : nil
      }
    }
  }

  /// Calls an operator whose result is a truth value.
  package func flag(_ arguments: Argument...) -> Bool {
    var result = ct_value()
    run(arguments, into: &result, capacity: 1)
    return result.as.flag
  }

  @discardableResult
  func run(_ arguments: [Argument], into results: UnsafeMutablePointer<ct_value>, capacity: Int) -> Int {
    var count: Int32 = 0
    let status = withUnsafeTemporaryAllocation(of: ct_value.self, capacity: arguments.count) { values in
      for (index, argument) in arguments.enumerated() { values.initializeElement(at: index, to: argument.lowered()) }
      defer { for value in values { Argument.free(value) } }
      return withExtendedLifetime(arguments) {
        Engine.api.call(handle, values.baseAddress, Int32(arguments.count), results, Int32(capacity), &count)
      }
    }
    guard status == CT_OK else {
      let shapes = arguments.flatMap(\.tensors).map { "\($0.shape)" }.joined(separator: ", ")
      fatalError("\(name)(\(shapes)): \(Engine.failure)")
    }
    return Int(count)
  }
}

/// An argument of an operator.
package enum Argument {
  /// The schema's default.
  case standard
  case none
  case tensor(Tensor)
  case int(Int)
  case double(Double)
  case flag(Bool)
  case string(String)
  case ints([Int])
  case flags([Bool])
  case tensors([Tensor])
  /// A list with gaps, for indexing.
  case gaps([Tensor?])
  case generator(Generator)

  package static func device(_ device: Device) -> Argument { .string(device.description) }
  package static func type(_ type: ElementType) -> Argument {
    guard let code = type.engineCode else { fatalError("elementType: libtorch has no \(type.rawValue)") }
    return .int(code)
  }
  package static func optional(_ tensor: Tensor?) -> Argument { tensor.map(Argument.tensor) ?? .none }
  package static func optional(_ integer: Int?) -> Argument { integer.map(Argument.int) ?? .none }
  package static func optional(_ number: Double?) -> Argument { number.map(Argument.double) ?? .none }

  fileprivate var tensors: [Tensor] {
    switch self {
    case .tensor(let tensor): [tensor]
    case .tensors(let tensors): tensors
    case .gaps(let tensors): tensors.compactMap { $0 }
    default: []
    }
  }

  /// The C value; lists are copied out and must be freed.
  fileprivate func lowered() -> ct_value {
    var value = ct_value()
    func tag(_ tag: Int, _ count: Int = 1) {
      value.tag = Int32(tag)
      value.count = Int32(count)
    }
    func copy<T, U>(_ list: [T], _ convert: (T) -> U) -> UnsafePointer<U> {
      let memory = UnsafeMutablePointer<U>.allocate(capacity: Swift.max(list.count, 1))
      for (index, element) in list.enumerated() { (memory + index).initialize(to: convert(element)) }
      return UnsafePointer(memory)
    }
    switch self {
    case .standard: tag(Int(CT_DEFAULT))
    case .none: tag(Int(CT_NONE))
    case .tensor(let tensor):
      tag(Int(CT_TENSOR))
      value.as.tensor = tensor.handle
    case .int(let integer):
      tag(Int(CT_INT))
      value.as.integer = Int64(integer)
    case .double(let number):
      tag(Int(CT_DOUBLE))
      value.as.number = number
    case .flag(let flag):
      tag(Int(CT_FLAG))
      value.as.flag = flag
    case .string(let string):
      tag(Int(CT_STRING))
      value.as.string = copy(Array(string.utf8CString)) { $0 }
    case .ints(let list):
      tag(Int(CT_INTS), list.count)
      value.as.integers = copy(list, Int64.init)
    case .flags(let list):
      tag(Int(CT_FLAGS), list.count)
      value.as.flags = copy(list) { $0 }
    case .tensors(let list):
      tag(Int(CT_TENSORS), list.count)
      value.as.tensors = copy(list) { Optional($0.handle) }
    case .gaps(let list):
      tag(Int(CT_TENSORS), list.count)
      value.as.tensors = copy(list) { $0?.handle }
    case .generator(let generator):
      tag(Int(CT_GENERATOR))
      value.as.generator = generator.handle
    }
    return value
  }

  fileprivate static func free(_ value: ct_value) {
    switch Int(value.tag) {
    case Int(CT_STRING): value.as.string.deallocate()
    case Int(CT_INTS): value.as.integers.deallocate()
    case Int(CT_FLAGS): value.as.flags.deallocate()
    case Int(CT_TENSORS): value.as.tensors.deallocate()
    default: break
    }
  }
}

extension Tensor {
  /// The tensor as an operator's argument.
  package var argument: Argument { .tensor(self) }

  /// The tensor a call of the engine yields; a failure stops the process.
  static func yielding(
    _ operation: @autoclosure () -> String, _ call: (UnsafeMutablePointer<ct_tensor?>) -> ct_status
  ) -> Tensor {
    var result: ct_tensor?
    Engine.api.check(operation(), call(&result))
    return Tensor(owning: result!)
  }
}

extension String {
  fileprivate func replacingPrefix(_ prefix: String) -> String {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self
  }
}
