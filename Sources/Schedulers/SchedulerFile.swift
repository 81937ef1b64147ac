import ScorefieldArrays
import ScorefieldCheckpoints

/// What a `scheduler_config.json` says, asked for key by key.
///
/// Whoever asks gives the value that stands for a key that is not there, or null. Keys that nobody asked for are unknown.
public struct SchedulerFile {
  let path: String
  /// `_class_name`.
  let className: String
  private let values: [String: JSONValue]
  private var asked: Set<String> = []

  init(_ bytes: Bytes, path: String) throws(ArrayFileError) {
    let values = try JSONText.decode(
      [String: JSONValue].self, from: bytes, name: path, repair: "use the scheduler_config.json of a diffusers model")
    guard case .text(let className) = values["_class_name"] else {
      throw ArrayFileError(
        path, .badData, "has no '_class_name'", repair: "use the scheduler_config.json of a diffusers model")
    }
    (self.path, self.values, self.className) = (path, values, className)
  }

  /// The keys that nobody asked for, in order, but those with which diffusers marks its files.
  var unknownKeys: [String] { values.keys.filter { !asked.contains($0) && !$0.hasPrefix("_") }.sorted() }

  /// Why a value cannot be used.
  func refusal(_ key: String, _ problem: String, repair: String) -> ArrayFileError {
    let value = values[key].map { " = \($0)" } ?? ""
    return ArrayFileError(path, .badData, "\(ArrayFileError.quote(key))\(value) \(problem)", repair: repair)
  }

  /// A number in a range, or the standard one.
  mutating func number(
    _ key: String, _ standard: Double, in range: ClosedRange<Double> = -1e9...1e9
  ) throws(ArrayFileError) -> Double { try optionalNumber(key, in: range) ?? standard }

  /// A number in a range, or nil.
  mutating func optionalNumber(
    _ key: String, in range: ClosedRange<Double> = -1e9...1e9
  ) throws(ArrayFileError) -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.number, range.contains(number) else {
      throw refusal(key, "is no number that fits", repair: "use one from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A whole number in a range, or the standard one.
  mutating func count(_ key: String, _ standard: Int, in range: ClosedRange<Int>) throws(ArrayFileError) -> Int {
    guard let value = value(key) else { return standard }
    guard case .number(let number) = value, let count = Int(exactly: number), range.contains(count) else {
      throw refusal(
        key, "is no whole number that fits", repair: "use one from \(range.lowerBound) to \(range.upperBound)")
    }
    return count
  }

  /// True or false, or the standard one of them.
  mutating func flag(_ key: String, _ standard: Bool) throws(ArrayFileError) -> Bool {
    guard let value = value(key) else { return standard }
    guard case .flag(let flag) = value else {
      throw refusal(key, "is neither true nor false", repair: "use one of them")
    }
    return flag
  }

  /// Numbers, or nil.
  mutating func numbers(_ key: String) throws(ArrayFileError) -> [Double]? {
    guard let value = value(key) else { return nil }
    guard case .array(let entries) = value else { throw refusal(key, "is no list", repair: "use a list of numbers") }
    var numbers: [Double] = []
    for entry in entries {
      guard case .number(let number) = entry else {
        throw refusal(key, "holds something else than numbers", repair: "use a list of numbers")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// One of a few names, or the standard one.
  ///
  /// - Parameters:
  ///   - key: The key.
  ///   - standard: What stands for a key that is not there.
  ///   - choices: What the class can do.
  ///   - aliases: Names that mean one of them, as those of classes with another choice do.
  /// - Returns: The choice.
  /// - Throws: Where the name is none of them.
  mutating func choice<Choice: RawRepresentable & Sendable>(
    _ key: String, _ standard: Choice, among choices: [Choice], aliases: [String: Choice] = [:]
  ) throws(ArrayFileError) -> Choice where Choice.RawValue == String {
    guard let value = value(key) else { return standard }
    if case .text(let name) = value {
      if let choice = choices.first(where: { $0.rawValue == name }) ?? aliases[name] { return choice }
    }
    throw refusal(
      key, "is nothing \(className) can do here",
      repair: "use \(choices.map { "'\($0.rawValue)'" }.joined(separator: ", "))")
  }

  /// A key of no consequence here.
  mutating func ignore(_ keys: String...) { asked.formUnion(keys) }

  /// Stops at a key that asks for what is not done.
  mutating func require(_ key: String, _ wanted: Bool, because reason: String, repair: String) throws(ArrayFileError) {
    if try flag(key, wanted) != wanted { throw refusal(key, reason, repair: repair) }
  }

  /// Stops at a key that is there and not null.
  mutating func requireNothing(_ key: String, because reason: String, repair: String) throws(ArrayFileError) {
    if value(key) != nil { throw refusal(key, reason, repair: repair) }
  }

  private mutating func value(_ key: String) -> JSONValue? {
    asked.insert(key)
    return values[key].flatMap { $0 == .null ? nil : $0 }
  }
}

/// Any JSON.
private enum JSONValue: Decodable, Equatable, CustomStringConvertible {
  case null
  case flag(Bool)
  case number(Double)
  case text(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let flag = try? container.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try Self.number(in: container) {
      self = .number(number)
    } else if let text = try? container.decode(String.self) {
      self = .text(text)
    } else if let array = try? container.decode([JSONValue].self) {
      self = .array(array)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// The number that is there, or nil where something else is; throws where it is one that does not fit.
  private static func number(in container: any SingleValueDecodingContainer) throws -> Double? {
    do { return try container.decode(Double.self) } catch DecodingError.typeMismatch {
      return nil
    } catch {
      // The decoder does not say where.
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "a number that does not fit")
    }
  }

  /// A number, or the text that Python has for an infinite one.
  var number: Double? {
    switch self {
    case .number(let number): number
    case .text("inf"): .infinity
    case .text("-inf"): -.infinity
    default: nil
    }
  }

  var description: String {
    switch self {
    case .null: "null"
    case .flag(let flag): "\(flag)"
    case .number(let number): Int(exactly: number).map(String.init) ?? "\(number)"
    case .text(let text): ArrayFileError.quote(text)
    case .array(let entries): "[\(entries.count) entries]"
    case .object: "{…}"
    }
  }
}
