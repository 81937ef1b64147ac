import ArgumentParser
import Scorefield

/// How a run ends; the numbers are those of sysexits.
enum ExitStatus: Int32 {
  case done = 0
  case usage = 64
  case badData = 65
  case noInput = 66
  case noEngine = 69
  case ourBug = 70
  case cannotWrite = 74
}

/// Why a command cannot go on: what it is about, what is wrong, and what to do.
struct Failure: Error {
  let status: ExitStatus
  let subject: String
  let problem: String
  let repair: String

  /// `<file or option>: <what is wrong>; <what to do>`, on one line, without control characters.
  var line: String {
    ArrayFileError(subject, .badData, problem, repair: repair).description
  }

  init(_ status: ExitStatus, _ subject: String, _ problem: String, repair: String) {
    (self.status, self.subject, self.problem, self.repair) = (status, subject, problem, repair)
  }

  /// An option with a value it cannot have.
  static func option(_ name: String, _ problem: String, repair: String) -> Failure {
    Failure(.usage, name, problem, repair: repair)
  }

  /// A method that differentiates a model whose data stay on the disk.
  static func noDerivatives(_ option: String, _ method: String) -> Failure {
    .option(
      option, "'\(method)' needs derivatives, and the data are not in memory", repair: "use exact or finite-difference")
  }

  /// What any error means for the process.
  init(of error: any Error) {
    switch error {
    case let error as Failure: self = error
    case let error as ArrayFileError:
      let status: ExitStatus =
        switch error.category {
        case .missing: .noInput
        case .badData: .badData
        case .cannotWrite: .cannotWrite
        }
      self.init(status, error.path, error.problem, repair: error.repair)
    case let error as EngineError: self.init(.noEngine, error.path, error.problem, repair: error.repair)
    case _ where Root.exitCode(for: error) == .validationFailure: self.init(usage: error)
    default:
      self.init(.ourBug, "internal error", "\(error)", repair: "please report it with the command line")
    }
  }

  /// What the parser of the command line says.
  private init(usage error: any Error) {
    let words =
      Root.message(for: error).split(whereSeparator: \.isNewline).first.map(String.init) ?? "is not understood"
    let subject = words.split(whereSeparator: { " '\"<>,=".contains($0) }).first { $0.hasPrefix("-") }
    let problem = words.hasSuffix(".") ? String(words.dropLast()) : words
    self.init(
      .usage, subject.map(String.init) ?? "command line", problem.prefix(1).lowercased() + problem.dropFirst(),
      repair: "see 'scorefield --help' or 'scorefield <command> --help'")
  }
}
