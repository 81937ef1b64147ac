// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

/// A room of the house: a target `Scorefield<name>` in `Sources/<name>`, and who it may import.
func room(_ name: String, imports: [Target.Dependency]) -> Target {
  .target(
    name: "Scorefield\(name)", dependencies: imports, path: "Sources/\(name)", swiftSettings: strict)
}

/// The tests of a room: `Tests/<name>Tests`.
func tests(of name: String, imports: [Target.Dependency]) -> Target {
  .testTarget(
    name: "Scorefield\(name)Tests", dependencies: imports + ["ScorefieldTestSupport"], path: "Tests/\(name)Tests",
    swiftSettings: strict)
}

let realModule: Target.Dependency = .product(name: "RealModule", package: "swift-numerics")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "Scorefield",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Scorefield", targets: ["Scorefield"]),
    .executable(name: "scorefield", targets: ["ScorefieldTool"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.0.3"),
  ],
  targets: [
    // The engine's C header, and nothing else: the C++ behind it is in Engine/, loaded at run time.
    .systemLibrary(name: "CScorefieldEngine", path: "Sources/CTorch"),
    .systemLibrary(
      name: "CScorefieldPNG", path: "Sources/CPNG", pkgConfig: "libpng",
      providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),

    room("Arrays", imports: []),
    room("TensorCore", imports: ["CScorefieldEngine", "ScorefieldArrays"]),
    room("Paths", imports: ["ScorefieldTensorCore", realModule]),
    room("Networks", imports: ["ScorefieldTensorCore", "ScorefieldArrays", realModule]),
    room("Fields", imports: ["ScorefieldPaths", "ScorefieldNetworks", "ScorefieldArrays", realModule]),
    room("Fisher", imports: ["ScorefieldFields", "ScorefieldArrays"]),
    room("Solvers", imports: ["ScorefieldFields", realModule]),
    room("Inference", imports: ["ScorefieldFisher", "ScorefieldSolvers", "ScorefieldArrays", realModule]),
    room("Transport", imports: ["ScorefieldInference", "ScorefieldArrays", realModule]),
    room("Checkpoints", imports: ["ScorefieldFisher", "ScorefieldArrays"]),
    room("Schedulers", imports: ["ScorefieldCheckpoints", "ScorefieldInference", realModule]),
    room("Training", imports: ["ScorefieldCheckpoints", "ScorefieldSolvers", realModule]),
    room("Images", imports: ["ScorefieldArrays", "CScorefieldPNG"]),
    .target(
      name: "Scorefield",
      dependencies: [
        "ScorefieldArrays", "ScorefieldTensorCore", "ScorefieldPaths", "ScorefieldNetworks", "ScorefieldFields",
        "ScorefieldFisher", "ScorefieldSolvers", "ScorefieldInference", "ScorefieldTransport", "ScorefieldCheckpoints",
        "ScorefieldSchedulers", "ScorefieldTraining",
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "ScorefieldTool", dependencies: ["Scorefield", "ScorefieldImages", argumentParser, realModule],
      swiftSettings: strict),

    .target(
      name: "ScorefieldTestSupport", dependencies: ["Scorefield"], path: "Tests/TestSupport", swiftSettings: strict),
    tests(of: "TensorCore", imports: ["Scorefield"]),
    tests(of: "Paths", imports: ["Scorefield"]),
    tests(of: "Fields", imports: ["Scorefield", realModule]),
    tests(of: "Fisher", imports: ["Scorefield"]),
    tests(of: "Tool", imports: ["Scorefield", "ScorefieldTool"]),
    tests(of: "Solvers", imports: ["Scorefield"]),
    tests(of: "Inference", imports: ["Scorefield", realModule]),
    tests(of: "Transport", imports: ["Scorefield", realModule]),
    tests(of: "Networks", imports: ["Scorefield"]),
    tests(of: "Checkpoints", imports: ["Scorefield"]),
    tests(of: "Schedulers", imports: ["Scorefield"]),
    tests(of: "Training", imports: ["Scorefield", "ScorefieldImages"]),
    tests(of: "Arrays", imports: ["ScorefieldArrays", "ScorefieldImages"]),
  ],
  swiftLanguageModes: [.v6]
)
