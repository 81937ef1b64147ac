/// Why a file could not be read or written: which file, what is wrong, and what to do about it.
public struct ArrayFileError: Error, CustomStringConvertible, Equatable, Sendable {
  /// What kind of failure it is; a command turns it into its exit code.
  public enum Category: Equatable, Sendable {
    /// The input does not exist (exit code 66).
    case missing
    /// The input is there but cannot be used (exit code 65).
    case badData
    /// The output cannot be written (exit code 74).
    case cannotWrite
  }

  public let path: String
  public let category: Category
  public let problem: String
  public let repair: String

  public init(_ path: String, _ category: Category, _ problem: String, repair: String) {
    (self.path, self.category, self.problem, self.repair) = (path, category, problem, repair)
  }

  /// One line, `<path>: <what is wrong>; <what to do>`, whatever characters the file put into it.
  public var description: String {
    var line = ""
    for scalar in "\(path): \(problem); \(repair)".unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .lineSeparator, .paragraphSeparator: line += scalar.escaped(asASCII: true)
      default: line.unicodeScalars.append(scalar)
      }
    }
    return line
  }

  /// A name or a cell from a file in quotes, shortened so that a message stays a message.
  package static func quote(_ text: some StringProtocol) -> String {
    let start = text.unicodeScalars.prefix(60)
    return start.endIndex == text.endIndex ? "'\(text)'" : "'\(String.UnicodeScalarView(start))…'"
  }
}
