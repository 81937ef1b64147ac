// swift-tools-version: 6.2
import PackageDescription

// A package of its own: what measuring needs never reaches users.
let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "Scorefield", path: "..")],
  targets: [
    .executableTarget(
      name: "Bench", dependencies: [.product(name: "Scorefield", package: "Scorefield")], path: "Sources/Bench",
      swiftSettings: [.treatAllWarnings(as: .error)])
  ],
  swiftLanguageModes: [.v6]
)
