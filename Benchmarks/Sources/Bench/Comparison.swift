/// Swift and its peer in turn, several rounds, and the ratios round by round: a comparison that holds while the machine's speed
/// drifts.
struct Comparison: Sendable {
  let title: String
  let rounds: Int
  let peer: Peer
  let measure: @Sendable () -> [Figure]

  func run() throws {
    print("\n\(title)\n")
    var ours: [String: [Double]] = [:]
    var theirs: [String: [Double]] = [:]
    var order: [(name: String, unit: String)] = []
    for round in 0..<rounds {
      for figure in measure() {
        ours[figure.name, default: []].append(figure.value)
        if round == 0 { order.append((figure.name, figure.unit)) }
      }
      for figure in try peer.run() {
        theirs[figure.name, default: []].append(figure.value)
        if round == 0, !order.contains(where: { $0.name == figure.name }) { order.append((figure.name, figure.unit)) }
      }
    }
    print(row(["measure", "unit", "Swift", "Python", "Swift/Python"]))
    for (name, unit) in order {
      let (a, b) = (ours[name] ?? [], theirs[name] ?? [])
      let ratio = a.count == b.count && !a.isEmpty ? short(zip(a, b).map { $0 / $1 }.median) : "–"
      print(row([name, unit, a.isEmpty ? "–" : short(a.median), b.isEmpty ? "–" : short(b.median), ratio]))
    }
  }

  private func row(_ cells: [String]) -> String {
    zip(cells, [34, 8, 12, 12, 14]).enumerated().map { index, cell in
      let space = String(repeating: " ", count: max(1, cell.1 - cell.0.count))
      return index < 2 ? cell.0 + space : space + cell.0
    }.joined()
  }

  /// Four significant digits.
  private func short(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return "\(value)" }
    var scale = 1.0
    while abs(value) * scale < 1000 { scale *= 10 }
    while abs(value) * scale >= 10_000 { scale /= 10 }
    return "\((value * scale).rounded() / scale)"
  }
}
