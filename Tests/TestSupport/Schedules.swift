import ScorefieldPaths

/// A schedule under the name the command line and the golden arrays use.
package struct NamedSchedule: Sendable, CustomStringConvertible {
  package let name: String
  package let schedule: any NoiseSchedule
  package var description: String { name }

  /// Every schedule of the house; laws run over this list.
  package static let all: [NamedSchedule] = [
    .init(name: "vp", schedule: .variancePreserving),
    .init(name: "subvp", schedule: .subVariancePreserving),
    .init(name: "ve", schedule: .varianceExploding),
    .init(name: "edm", schedule: .edm),
    .init(name: "flow", schedule: .flowMatching),
    .init(name: "ve-geometric", schedule: .geometricVarianceExploding),
    .init(name: "trig", schedule: .trigonometric),
    .init(name: "scaled-linear", schedule: .stableDiffusion),
    .init(name: "ddpm-linear", schedule: .linearDDPM),
    .init(name: "ddpm-cosine", schedule: .cosineDDPM),
  ]

  package static func named(_ name: String) -> any NoiseSchedule { all.first { $0.name == name }!.schedule }
}
