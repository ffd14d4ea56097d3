"""SQLAlchemy 2 with its ORM: models, relationships, nested transactions, bulk work and errors in savepoints."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric, String, create_engine, func, inspect, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from target import URL


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    customer: Mapped[Customer] = relationship(back_populates="orders")


engine = create_engine(URL.replace("postgresql:", "postgresql+psycopg:"), pool_size=3)
Base.metadata.create_all(engine)
print("tables", sorted(inspect(engine).get_table_names()))
print("columns", [(c["name"], str(c["type"]), c["nullable"]) for c in inspect(engine).get_columns("order")])
print("keys", inspect(engine).get_foreign_keys("order"))

with Session(engine) as session, session.begin():
    for i in range(1, 21):
        orders = [Order(total=Decimal(j) + Decimal("0.50")) for j in range(i % 4)]
        session.add(Customer(name=f"customer {i}", orders=orders))

with Session(engine) as session:
    query = select(Customer).options(selectinload(Customer.orders)).order_by(Customer.id)
    print("loaded", [(c.id, c.name, [str(o.total) for o in c.orders]) for c in session.scalars(query)][:5])
    sums = select(Customer.name, func.sum(Order.total)).join(Customer.orders).group_by(Customer.name)
    print("joined", session.execute(sums.order_by(Customer.name)).all()[:5])

with Session(engine) as session, session.begin():
    rows = [{"name": f"bulk {i}"} for i in range(2500)]
    ids = session.scalars(insert(Customer).returning(Customer.id, sort_by_parameter_order=True), rows).all()
    print("bulk insert", len(ids), ids[0], ids[-1])
    session.execute(update(Customer), [{"id": i, "name": f"renamed {i}"} for i in ids[:500]])
    print("renamed", session.scalar(select(func.count()).where(Customer.name.like("renamed%"))))

with Session(engine) as session, session.begin():
    first = session.get(Customer, 1)
    first.name = "changed"
    try:
        with session.begin_nested():
            session.add(Customer(name="customer 2"))
            session.flush()
    except IntegrityError as error:
        print("in the savepoint", type(error.orig).__name__, error.orig.diag.message_primary)
    with session.begin_nested():
        session.add(Customer(name="in a savepoint"))
    nested = session.begin_nested()
    session.add(Customer(name="rolled back"))
    session.flush()
    nested.rollback()

with Session(engine) as session:
    names = ["changed", "customer 2", "in a savepoint", "rolled back"]
    print("kept", session.scalars(select(Customer.name).where(Customer.name.in_(names)).order_by(Customer.name)).all())
    statement = upsert(Customer).values(id=2, name="upserted")
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name}))
    session.delete(session.get(Customer, 3))
    session.commit()
    print("after", session.scalars(select(Customer.name).where(Customer.id < 6).order_by(Customer.id)).all())
    print("orders", session.scalar(select(func.count()).select_from(Order)))
    try:
        session.execute(text("select * from nowhere"))
    except ProgrammingError as error:
        print("error", type(error.orig).__name__, error.orig.diag.message_primary)
    session.rollback()
    streamed = session.scalars(select(Customer.id).execution_options(yield_per=100).order_by(Customer.id))
    print("streamed", sum(streamed))

# One session holds a lock that another is not willing to wait for.
with Session(engine) as one, Session(engine) as two:
    one.scalars(select(Customer).where(Customer.id == 1).with_for_update()).one()
    try:
        two.scalars(select(Customer).where(Customer.id == 1).with_for_update(nowait=True)).one()
    except OperationalError as error:
        print("locked", type(error.orig).__name__, error.orig.diag.message_primary)

isolated = engine.execution_options(isolation_level="SERIALIZABLE")
with isolated.connect() as connection:
    print("isolation", connection.scalar(text("show transaction_isolation")))

Base.metadata.drop_all(engine)
print("tables", inspect(engine).get_table_names())
engine.dispose()
