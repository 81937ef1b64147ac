import Foundation
import Scorefield

// Run by `make bench`; a name as argument runs one comparison.
Threads.count = 1
let comparisons: [(name: String, make: () -> [Comparison])] = [
  ("startup", { [startup] }),
  ("overhead", { [overhead] }),
  (
    "exact-field",
    {
      [
        exactFieldOfDigits(), exactField(points: 5000, dimension: 2, batch: 10_000),
        exactField(points: 5000, dimension: 3072, batch: 64),
      ]
    }
  ),
  (
    "trajectory",
    {
      [trajectory(of: .smooth, .float64, points: 50_000, batch: 64)]
        + TrajectoryData.allCases.map { trajectory(of: $0, .float32, points: 50_000, batch: 64) }
    }
  ),
  ("exact-field-digits", { [exactFieldOfDigits()] }),
  (
    "exact-field-dense",
    {
      [1, 2].flatMap { threads in
        [64, 256].map {
          exactField(points: 50_000, dimension: 3072, batch: $0, threads: threads, levels: [5, 10, 20, 80], rounds: 1)
        }
      }
    }
  ),
  ("unet", unetTrainings),
  ("likelihood", { [likelihood(batch: 256), likelihood(batch: 4096)] }),
  ("training", training),
  (
    "trace-matching",
    {
      [
        likelihoodAgainstSampling(dimension: 64, width: 1024, batch: 64),
        likelihoodAgainstSampling(dimension: 64, width: 1024, batch: 1), matchedLikelihood(batch: 256),
        matchedLikelihood(batch: 4096), traces(dimension: 64), traces(dimension: 3072),
      ]
    }
  ),
  ("times", { [times] }),
  ("sampling", { [sampling(batch: 1), sampling(batch: 64), sampling(batch: 1024)] }),
]
let wanted = CommandLine.arguments.dropFirst()
for comparison in comparisons where wanted.contains(comparison.name) || wanted.isEmpty {
  for one in comparison.make() { try one.run() }
}
// All sizes of the exact field take a quarter of an hour and 6 GB of disk: only by name.
if wanted.contains("exact-field-table") {
  let folder = URL(filePath: FileManager.default.currentDirectoryPath).appending(path: ".build/bench")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  try ExactFieldTable.run(threads: 2, into: folder)
  print("\nThe figures and their picture are in \(folder.path)")
}
