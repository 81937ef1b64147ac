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
        exactField(points: 5000, dimension: 3072, batch: 64), exactField(points: 1797, dimension: 64, batch: 64),
        exactField(points: 5000, dimension: 64, batch: 1),
      ]
    }
  ),
  ("trajectory", { TrajectoryData.allCases.map { trajectory(of: $0, points: 50_000, batch: 64) } }),
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
]
let wanted = CommandLine.arguments.dropFirst()
for comparison in comparisons where wanted.isEmpty || wanted.contains(comparison.name) {
  for one in comparison.make() { try one.run() }
}
