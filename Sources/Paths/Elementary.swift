import RealModule

/// The scalars a schedule is written in: `Double`, or ``Dual`` to differentiate it.
public protocol Elementary: AlgebraicField, ElementaryFunctions, ExpressibleByFloatLiteral, Sendable
where FloatLiteralType == Double {
  init(_ value: Double)
}

extension Double: Elementary {}
