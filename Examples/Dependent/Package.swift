// swift-tools-version: 6.2
import PackageDescription

// Another project that uses Scorefield. Where its repository is cloned from comes from the environment, so that the test
// can point it at a clone of the working copy.
let repository = Context.environment["SCOREFIELD_REPOSITORY"] ?? "../../../scorefield"

let package = Package(
  name: "Dependent",
  platforms: [.macOS(.v15)],
  dependencies: [.package(url: repository, from: "1.0.0")],
  targets: [
    .executableTarget(name: "Dependent", dependencies: [.product(name: "Scorefield", package: "scorefield")])
  ],
  swiftLanguageModes: [.v6]
)
