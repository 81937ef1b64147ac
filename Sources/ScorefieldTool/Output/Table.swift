/// Rows of words under a head, each column as wide as its widest cell, numbers to the right.
struct Table {
  private var rows: [[String]]

  init(_ head: [String]) { rows = [head] }

  /// The head and all rows under it.
  init(rows: [[String]]) { self.rows = rows }

  mutating func add(_ row: [String]) { rows.append(row) }

  var text: String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      zip(row, widths).enumerated().map { index, cell in
        let space = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + space : space + cell.0
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}
