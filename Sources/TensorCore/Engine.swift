import CScorefieldEngine
import ScorefieldArrays

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// libtorch, loaded on the first use of a tensor.
///
/// It is looked for in the folder `$SCOREFIELD_ENGINE` names, then in `.engine` beside the executable or above it, then
/// in `.engine` of the package this file was compiled in. `Scripts/bootstrap` makes such a folder.
public enum Engine {
  /// Loads the engine, if it is not loaded yet.
  ///
  /// Only a program that wants to say so itself when the engine is missing needs this; the first tensor stops the
  /// process with the same sentence.
  public static func load() throws(EngineError) { _ = try outcome.get() }

  /// The version of libtorch in use, such as "2.13.0+cpu".
  public static var torchVersion: String { String(cString: api.torch_found) }

  /// Why the engine's last call on this thread failed.
  static var failure: String { api.last_error().map(String.init(cString:)) ?? "" }

  // Not isolated: the table is constant, and its functions may be called from any thread.
  /// The engine's functions; a missing engine stops the process.
  nonisolated(unsafe) static let api: ct_engine = {
    switch outcome {
    case .success(let table): return table
    case .failure(let error): fatalError(error.description)
    }
  }()

  nonisolated(unsafe) private static let outcome = Result { () throws(EngineError) in
    if let named = environment("SCOREFIELD_ENGINE") { return try open(named) }
    return try open(findFolder(above: [ProcessPath.executable, #filePath].compactMap { $0 }))
  }

  /// The nearest `.engine` beside or above the first of the paths that has one.
  package static func findFolder(above starts: [String]) throws(EngineError) -> String {
    for start in starts {
      var folder = start[...]
      while let slash = folder.lastIndex(of: "/") {
        folder = folder[..<slash]
        if access("\(folder)/.engine/manifest", R_OK) == 0 { return "\(folder)/.engine" }
      }
    }
    throw EngineError(
      path: "engine", problem: "libtorch is not set up",
      repair: "run 'make setup' in the package, or set SCOREFIELD_ENGINE")
  }

  /// Loads the engine of a folder to see whether it can be used; the process's own stays what it is.
  package static func examine(_ folder: String) throws(EngineError) { _ = try open(folder) }

  private static func open(_ folder: String) throws(EngineError) -> ct_engine {
    let manifest = try EngineManifest(folder: folder)
    try manifest.verify()

    // OpenMP reads it when it is loaded. A thread that spins takes the core from the one it waits for as soon as anybody
    // else computes: measured on a busy machine, a likelihood took 35 s instead of 1.5. What the user set stays.
    setenv("GOMP_SPINCOUNT", "0", 0)
    guard let library = dlopen(manifest.plug, RTLD_NOW | RTLD_LOCAL) else {
      throw EngineError(
        path: manifest.plug, problem: "cannot be loaded (\(String(cString: dlerror())))", repair: EngineManifest.repair)
    }
    guard let symbol = dlsym(library, CT_ENTRY_SYMBOL) else {
      throw EngineError(path: manifest.plug, problem: "is not a Scorefield engine", repair: EngineManifest.repair)
    }
    guard let table = unsafeBitCast(symbol, to: ct_engine_entry.self)() else {
      throw EngineError(path: manifest.plug, problem: "offers no functions", repair: EngineManifest.repair)
    }
    if let problem = mismatch(
      interface: Int(table.pointee.abi_version), built: String(cString: table.pointee.torch_built),
      found: String(cString: table.pointee.torch_found))
    {
      throw EngineError(path: manifest.plug, problem: problem, repair: EngineManifest.repair)
    }
    return table.pointee
  }

  /// The version of the interface this program was compiled for.
  package static let interface = Int(CT_ABI_VERSION)

  /// What keeps a plug from serving this program; the strings are not looked at where the interface is another.
  package static func mismatch(
    interface: Int, built: @autoclosure () -> String, found: @autoclosure () -> String
  ) -> String? {
    guard interface == Engine.interface else {
      return "speaks version \(interface) of the interface, this program version \(Engine.interface)"
    }
    let (built, found) = (built(), found())
    return built == found ? nil : "was built for libtorch \(built), but libtorch \(found) was found"
  }
}

/// Why the engine cannot be used: one sentence that names the file and the repair.
public struct EngineError: Error, Equatable, CustomStringConvertible {
  public let path: String
  public let problem: String
  public let repair: String
  public var description: String { "\(path): \(problem); \(repair)" }
}

extension ct_engine {
  /// Stops the process, in libtorch's words, where a call failed.
  func check(_ operation: @autoclosure () -> String, _ status: ct_status) {
    guard status == CT_OK else { fatalError("\(operation()): \(Engine.failure)") }
  }
}

func environment(_ name: String) -> String? {
  guard let value = getenv(name), value.pointee != 0 else { return nil }
  return String(cString: value)
}
