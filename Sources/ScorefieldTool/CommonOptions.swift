import ArgumentParser
import Scorefield

/// What every command understands.
struct CommonOptions: ParsableArguments {
  @Flag(help: "Print one JSON object on stdout.")
  var json = false

  @Option(help: "The seed of everything random.")
  var seed: UInt64 = 0

  @Option(help: "How many threads to compute with (default: one per core).")
  var threads: Int?

  @Option(help: "float32 or float64 (default: float64 for exact fields, a network's own otherwise).")
  var dtype: String?

  @Option(help: "Grey levels of integer data, which are scaled to [-1, 1] (default: 256, or those of a trained model).")
  var levels: Int?

  /// The element type that was asked for, and the checks that need nothing but the options.
  func validated() throws(Failure) -> ElementType? {
    guard threads.map({ $0 > 0 && $0 <= 1024 }) ?? true else {
      throw .option("--threads", "\(threads ?? 0) is no count of threads", repair: "give a number from 1 to 1024")
    }
    guard levels.map({ $0 >= 2 && $0 <= 1 << 32 }) ?? true else {
      throw .option(
        "--levels", "\(levels ?? 0) is no count of grey levels", repair: "give a number from 2 to 4294967296")
    }
    switch dtype {
    case nil: return nil
    case "float64": return .float64
    case "float32": return .float32
    case let other?:
      throw .option("--dtype", "'\(other)' is no element type", repair: "use float32 or float64")
    }
  }

  /// Loads the engine and sets it up.
  func start() throws(EngineError) {
    try Engine.load()
    if let threads { Threads.count = threads }
  }

  /// The grey levels of integer data beside a model.
  func levels(beside model: ModelInput) throws(Failure) -> Int {
    guard let own = model.levels, let levels, levels != own else { return levels ?? model.levels ?? 256 }
    throw .option("--levels", "\(model.path) was trained on \(own) grey levels", repair: "leave --levels out")
  }
}
